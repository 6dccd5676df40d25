"""Files that were damaged, or made to do harm, and how they are read without harm."""
