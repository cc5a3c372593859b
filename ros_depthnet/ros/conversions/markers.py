"""From obstacles to the visualization_msgs/MarkerArray that RViz shows."""
import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Pose, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ros_depthnet.core.obstacles import Box
from ros_depthnet.ros.conversions.pose import to_point

BOXES, DISTANCES = 'boxes', 'distances'  # namespaces of the markers
_LIFETIME = Duration(sec=2)  # so that no obstacle outlives a node that has stopped
_COLOUR = ColorRGBA(r=1.0, g=0.35, b=0.0, a=0.4)
_TEXT = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
_TEXT_HEIGHT = 0.4  # metres
_THINNEST = 0.05  # metres; RViz draws nothing of no thickness


def from_boxes(boxes: list[Box], header: Header, previously: int) -> MarkerArray:
    """
    Return a transparent box and its distance for each obstacle, in order; the ids are 0, 1, 2...

    previously: how many obstacles the last message had; those with ids no longer in use are deleted.
    """
    markers = []
    for i, box in enumerate(boxes):
        size = np.maximum(box.size, _THINNEST)
        above = box.centre + (0, 0, size[2] / 2 + _TEXT_HEIGHT)
        markers += [
            _marker(header, BOXES, i, Marker.CUBE, box.centre, size, _COLOUR),
            _marker(header, DISTANCES, i, Marker.TEXT_VIEW_FACING, above, (0, 0, _TEXT_HEIGHT), _TEXT,
                    f'{box.distance:.1f} m'),
        ]
    markers += [Marker(header=header, ns=name, id=i, action=Marker.DELETE)
                for i in range(len(boxes), previously) for name in (BOXES, DISTANCES)]
    return MarkerArray(markers=markers)


def to_boxes(message: MarkerArray) -> list[Box]:
    """Return the obstacles of what `from_boxes` made; how many points each has is not told."""
    added = {(marker.ns, marker.id): marker for marker in message.markers if marker.action == Marker.ADD}
    boxes = []
    for (name, number), marker in added.items():
        if name == BOXES:
            at, size = marker.pose.position, marker.scale
            distance = float(added[DISTANCES, number].text.split()[0])
            boxes.append(Box(np.array([at.x, at.y, at.z]), np.array([size.x, size.y, size.z]), distance, 0))
    return boxes


def _marker(header, namespace, number, kind, position, scale, colour, text='') -> Marker:
    x, y, z = (float(edge) for edge in scale)
    pose = Pose(position=to_point(position))
    return Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD, pose=pose, text=text,
                  scale=Vector3(x=x, y=y, z=z), color=colour, lifetime=_LIFETIME)
