"""Synthetic chest radiographs whose 14 labels are exact: one at a time, or a folder in CheXpert's layout."""

from chexpert.data.drawing.knobs import InvalidKnob, Knobs
from chexpert.data.drawing.phantom import Phantom, draw
from chexpert.data.phantom_folder import PhantomSettings, generate

__all__ = ["InvalidKnob", "Knobs", "Phantom", "PhantomSettings", "draw", "generate"]
