"""Which images does a folder hold, whose are they, and what became of every file?

`walk` lists files, `units` finds what makes a case of them from headers alone, `cases` reads the
voxels and describes them, `ledger` accounts for each file, `labels`, `tables` and `splits` add
what the user knows. Nothing that leaves here names a patient: ids are keyed hashes
(`pseudonyms`), so are words that scanners do not say (`words`), dates are days since the first
study (`days`), text in the pixels is pointed out (`burned_in`), and real paths stand in the one
table of `private`.
"""
