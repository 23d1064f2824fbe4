"""Pictures of the documentation, drawn with the product's own functions from seeded data and the samples."""
