"""The laboratory: compares methods. Part of the repository, not of an installed package."""
