"""The version of midlayer, as the package metadata has it."""

VERSION = "0.1.0"
