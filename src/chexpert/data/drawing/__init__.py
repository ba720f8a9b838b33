"""Draws synthetic chest radiographs whose findings are known exactly.

Works in attenuation: tissue adds, air takes away, the film turns the sum into grey levels; so overlap and lost
silhouettes come by themselves. Every function takes its randomness as a generator. Knows no files and no tables;
`chexpert.data.phantoms` writes those.
"""

__all__ = [
    "airspace",
    "anatomy",
    "bones",
    "chest",
    "devices",
    "film",
    "frontal",
    "grid",
    "knobs",
    "label_noise",
    "lateral",
    "letters",
    "phantom",
    "plan",
    "pleura",
    "render",
    "truth",
]
