"""Every crop source of the family, with what each needs besides to be like the others."""

from dataclasses import replace

from medssl import lookup
from medssl.data.manifest import Manifest

FAMILY = "medssl.data.crops"
OPTIONS = {
    "frames": {"shared_crop": False},
    "multi_crop": {"local_crop_vox": (2, 2, 2)},
    "slices": {"planes": ("axial",)},
}


def in_frames(manifest):
    """Return each case as a frame of a series, followed by as many that are the other frames."""
    return Manifest.of(
        replace(case, case_id=f"{case.case_id}.{frame}", series_id=case.case_id, frame=frame)
        for frame in range(2)
        for case in manifest
    )


def crop_source(cohort, name, crop_vox, seed=0, manifest=None):
    """Return the member of this name."""
    manifest = cohort.manifest if manifest is None else manifest
    manifest = in_frames(manifest) if name == "frames" else manifest
    options = {"crop_vox": crop_vox, **OPTIONS.get(name, {})}
    if "local_crop_vox" in options:
        options["local_crop_vox"] = options["local_crop_vox"][: len(crop_vox)]
    return lookup.build(FAMILY, name, manifest, cohort.root, seed, **options)
