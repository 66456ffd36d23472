"""The sg driver, rule by rule."""
