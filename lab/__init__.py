"""The laboratory compares methods; it is not part of the installed package."""
