"""Inspect: looking inside a trained network, with NumPy and Pillow alone."""

from minidl.inspect._moments import Moment
from minidl.inspect.recorder import Recorder
from minidl.inspect.saliency import saliency
from minidl.inspect.trace import LayerTrace, Trace, trace
from minidl.inspect.weight_pictures import WeightPictures, weight_pictures

__all__ = ["LayerTrace", "Moment", "Recorder", "Trace", "WeightPictures", "saliency", "trace", "weight_pictures"]
