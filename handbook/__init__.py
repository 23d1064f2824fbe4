"""What the site shows beside `docs/`: pages made from the registries. Not part of the product."""
