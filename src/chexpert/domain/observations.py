"""The 14 observations of CheXpert, in the order of its CSV (Irvin et al. 2019, arXiv 1901.07031)."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["COMPETITION", "CRITICAL", "FLAGGABLE", "OBSERVATIONS", "PARENTS", "PRIORITISED", "Observation"]


class Observation(StrEnum):
    """One of the 14; its value is the column name in CheXpert's CSV files."""

    NO_FINDING = "No Finding"
    ENLARGED_CARDIOMEDIASTINUM = "Enlarged Cardiomediastinum"
    CARDIOMEGALY = "Cardiomegaly"
    LUNG_OPACITY = "Lung Opacity"
    LUNG_LESION = "Lung Lesion"
    EDEMA = "Edema"
    CONSOLIDATION = "Consolidation"
    PNEUMONIA = "Pneumonia"
    ATELECTASIS = "Atelectasis"
    PNEUMOTHORAX = "Pneumothorax"
    PLEURAL_EFFUSION = "Pleural Effusion"
    PLEURAL_OTHER = "Pleural Other"
    FRACTURE = "Fracture"
    SUPPORT_DEVICES = "Support Devices"


OBSERVATIONS: Final = tuple(Observation)

COMPETITION: Final = (
    Observation.ATELECTASIS,
    Observation.CARDIOMEGALY,
    Observation.CONSOLIDATION,
    Observation.EDEMA,
    Observation.PLEURAL_EFFUSION,
)
"""The five tasks of the CheXpert competition; their mean AUROC is the figure others publish."""

PARENTS: Final[Mapping[Observation, Observation]] = MappingProxyType(
    {
        Observation.CARDIOMEGALY: Observation.ENLARGED_CARDIOMEDIASTINUM,
        Observation.LUNG_LESION: Observation.LUNG_OPACITY,
        Observation.EDEMA: Observation.LUNG_OPACITY,
        Observation.CONSOLIDATION: Observation.LUNG_OPACITY,
        Observation.PNEUMONIA: Observation.LUNG_OPACITY,
        Observation.ATELECTASIS: Observation.LUNG_OPACITY,
    },
)
"""Child to parent. CheXpert's expert labels obey it in every study; its training labels do not."""

FLAGGABLE: Final = tuple(o for o in OBSERVATIONS if o not in {Observation.NO_FINDING, Observation.SUPPORT_DEVICES})
"""What may raise a study: a device is not a reason, and 'No Finding' may never lower one."""

PRIORITISED: Final = tuple(o for o in FLAGGABLE if o not in set(PARENTS.values()))
"""What enters the priority: parents are left out, since their children are scored and would count twice."""

CRITICAL: Final = frozenset({Observation.PNEUMOTHORAX})
"""Default of what a flag raises to STAT; a site may list others."""
