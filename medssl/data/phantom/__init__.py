"""Which archive has a known truth? One made from a real anatomy, deformed, imaged and planted.

The anatomy is nilearn's MNI152 template (T1, gray and white matter), which its wheel ships.
`cohort` says which series there are, `render` makes one of them (`anatomy` deforms, `grid`
places, `appearance` images), `identity` invents who was imaged, `dicom` writes, `defects`
spoils, and `archive` puts all of it into a folder with its truth beside it. A series is a
function of (seed, subject, series): asking for more subjects changes none of the others.
`bulk` is apart from these: many files within seconds, without anatomy, to measure how work scales.
"""
