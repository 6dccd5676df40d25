"""What may a copy of a DICOM file say, so that it can leave the hospital?

What is on a list (`whitelist`), treated as the list says (`elements`, `clock`), and the pixels as
they are (`pixels`); nothing gets into a copy by not having been thought of. `copies` writes them.

dicognito and deid were looked at. Both begin with the file and take away: dicognito leaves
private elements and free text, and shifts the dates of all patients alike; a recipe of deid that
removes all but some elements keeps whatever stands inside a sequence that it keeps. Neither can
promise a list, so the copy is built up here, by pydicom; dicognito is the second opinion of the
tests.
"""
