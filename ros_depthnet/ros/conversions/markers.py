"""From obstacles to the visualization_msgs/MarkerArray that RViz shows."""

import re
from collections.abc import Sequence, Set

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Pose, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ros_depthnet.core.obstacle_tracks import Obstacle
from ros_depthnet.core.obstacles import Box
from ros_depthnet.ros.conversions.pose import to_point

BOXES, DISTANCES, VELOCITIES = 'boxes', 'distances', 'velocities'  # namespaces of the markers
_LIFETIME = Duration(sec=2)  # so that no obstacle outlives a node that has stopped
_COLOUR = ColorRGBA(r=1.0, g=0.35, b=0.0, a=0.4)
_MOVING = ColorRGBA(r=1.0, g=0.0, b=0.6, a=0.7)
_TEXT = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
_TEXT_HEIGHT = 0.4  # metres
_ARROW = (0.1, 0.2, 0.3)  # metres: shaft and head across, and the head's length
_THINNEST = 0.05  # metres; RViz draws nothing of no thickness


def from_obstacles(obstacles: Sequence[Obstacle], header: Header, previous: Set[tuple[str, int]]) -> MarkerArray:
    """
    Return a transparent box and its distance for each obstacle, in order, and an arrow for each that moves.

    The id is the obstacle's number. An arrow leads from the centre to where it will be in a second, so the
    difference of its two points is the velocity, metres per second in the header's frame. previous: namespace
    and id of the markers of the last message; those no longer in use are deleted.
    """
    markers = []
    for obstacle in obstacles:
        box, number, colour = obstacle.box, obstacle.number, _MOVING if obstacle.moving else _COLOUR
        size = np.maximum(box.size, _THINNEST)
        above = box.centre + (0, 0, size[2] / 2 + _TEXT_HEIGHT)
        markers += [
            _marker(header, BOXES, number, Marker.CUBE, box.centre, size, colour),
            _marker(
                header, DISTANCES, number, Marker.TEXT_VIEW_FACING, above, (0, 0, _TEXT_HEIGHT), _TEXT, _said(obstacle)
            ),
        ]
        if obstacle.moving:
            arrow = _marker(header, VELOCITIES, number, Marker.ARROW, (0, 0, 0), _ARROW, _MOVING)
            arrow.points = [to_point(box.centre), to_point(box.centre + obstacle.velocity)]
            markers.append(arrow)
    gone = sorted(set(previous) - shown_by(markers))
    markers += [Marker(header=header, ns=name, id=number, action=Marker.DELETE) for name, number in gone]
    return MarkerArray(markers=markers)


def to_boxes(message: MarkerArray) -> list[Box]:
    """Return the obstacles that `from_obstacles` drew, leaving out what others did; their points are not told."""
    added = [marker for marker in message.markers if marker.action == Marker.ADD]
    distances = {
        marker.id: float(told[1])
        for marker in added
        if marker.ns == DISTANCES and (told := re.match(r'(\d+\.\d) m', marker.text))
    }
    boxes = []
    for marker in added:
        if marker.ns == BOXES and marker.type == Marker.CUBE and marker.id in distances:
            at, size = marker.pose.position, marker.scale
            centre, edges = np.array([at.x, at.y, at.z]), np.array([size.x, size.y, size.z])
            boxes.append(Box(centre, edges, distances[marker.id], 0))
    return boxes


def shown_by(markers: Sequence[Marker]) -> set[tuple[str, int]]:
    """Return namespace and id of what markers show."""
    return {(marker.ns, marker.id) for marker in markers if marker.action == Marker.ADD}


def _said(obstacle: Obstacle) -> str:
    distance = f'{obstacle.box.distance:.1f} m'
    if not obstacle.moving:
        return distance
    return (
        f'{distance}, {obstacle.speed:.1f} +- {obstacle.speed_deviation:.1f} m/s, '
        f'{obstacle.closest_m:.1f} m in {obstacle.closest_s:.1f} s'
    )


def _marker(header, namespace, number, kind, position, scale, colour, text='') -> Marker:
    x, y, z = (float(edge) for edge in scale)
    pose = Pose(position=to_point(position))
    return Marker(
        header=header,
        ns=namespace,
        id=number,
        type=kind,
        action=Marker.ADD,
        pose=pose,
        text=text,
        scale=Vector3(x=x, y=y, z=z),
        color=colour,
        lifetime=_LIFETIME,
    )
