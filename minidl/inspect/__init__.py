"""Inspect: looking inside a trained network, with NumPy and Pillow alone."""

from minidl.inspect._moments import Moment
from minidl.inspect._page import page
from minidl.inspect.activation_maps import activation_maps
from minidl.inspect.influences import Influences, influences
from minidl.inspect.occlusion import Occlusion, occlusion
from minidl.inspect.recorder import Recorder
from minidl.inspect.saliency import saliency
from minidl.inspect.sheet import sheet
from minidl.inspect.trace import LayerTrace, Trace, trace
from minidl.inspect.weight_pictures import WeightPictures, weight_pictures

__all__ = [
    "Influences",
    "LayerTrace",
    "Moment",
    "Occlusion",
    "Recorder",
    "Trace",
    "WeightPictures",
    "activation_maps",
    "influences",
    "occlusion",
    "page",
    "saliency",
    "sheet",
    "trace",
    "weight_pictures",
]
