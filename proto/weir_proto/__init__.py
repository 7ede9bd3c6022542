"""The plugin wire: .proto sources and the code that ``python -m weir_proto.build`` makes of them."""
