"""What the documents show is typed here as it stands."""
