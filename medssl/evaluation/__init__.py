"""How good is it: a mask against its reference, one arm against another, a representation."""
