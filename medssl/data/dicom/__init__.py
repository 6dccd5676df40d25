"""What does a DICOM file say, and which of them make one volume?

`header` reads what is needed of each image in a file (`plain` the usual ones, `elements`, `content`
of its values, `frames` of enhanced images, `mosaic` with its private header `csa`), `kinds`
refuses what is no slice, `stacks` divides a series into volumes, by `acquisitions` where need be,
`stack` orders the slices of one and measures its grid, `regrid` brings them onto one, `images`,
`native` and `pixels` decode.
A volume that cannot be had right is refused with a `medssl.data.verdicts.RefusedError`.
"""
