"""What does a DICOM file say, and which of them make one volume?

`header` reads what is needed of each image in a file (`elements`, `frames` of enhanced images,
`mosaic` with its private header `csa`), `kinds` refuses what is no slice, `stacks` divides a
series into volumes, `stack` orders the slices of one and measures its grid, `images` and
`pixels` decode.
A volume that cannot be had right is refused with a `medssl.data.verdicts.RefusedError`.
"""
