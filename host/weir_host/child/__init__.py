"""``file://`` plugins: processes of their own that speak the go-plugin wire."""
