"""How fast devices compute and arrays pass between them: declared, measured, kept on disk."""
