"""Collectors that come with Weir: plugins like any other, in ``python://weir_collectors.builtin``."""
