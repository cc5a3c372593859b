"""Between sensor_msgs/PointCloud2 and arrays of points: packed x, y, z and, if wanted, rgb, all float32."""

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from ros_depthnet.ros.conversions.image import octets

_XYZ = [('x', '<f4'), ('y', '<f4'), ('z', '<f4')]


def from_points(points: np.ndarray, rgb: np.ndarray | None, header: Header) -> PointCloud2:
    """
    Return points as a cloud: organised from (H, W, 3), one row from (N, 3).

    `rgb`, of the same shape in uint8, goes where RViz and PCL look for it: 0x00RRGGBB seen as a float32.
    """
    shape = points.shape[:-1]
    cloud = np.empty(shape, np.dtype(_XYZ + ([] if rgb is None else [('rgb', '<u4')])))
    cloud['x'], cloud['y'], cloud['z'] = np.moveaxis(points, -1, 0)
    if rgb is not None:
        red, green, blue = np.moveaxis(rgb.astype(np.uint32), -1, 0)
        cloud['rgb'] = red << 16 | green << 8 | blue
    height, width = shape if len(shape) == 2 else (1, shape[0])
    message = PointCloud2(
        header=header,
        height=height,
        width=width,
        is_bigendian=False,
        point_step=cloud.dtype.itemsize,
        row_step=cloud.dtype.itemsize * width,
        is_dense=bool(np.isfinite(points).all()),
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate(cloud.dtype.names)
        ],
    )
    message.data = octets(cloud)
    return message


def to_points(message: PointCloud2) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a cloud's points (H, W, 3) float32 and, if it has them, colours (H, W, 3) uint8."""
    offsets = {field.name: field.offset for field in message.fields}
    order = '>' if message.is_bigendian else '<'
    names = [name for name in ('x', 'y', 'z', 'rgb') if name in offsets]
    dtype = np.dtype(
        {
            'names': names,
            'formats': [order + ('u4' if name == 'rgb' else 'f4') for name in names],
            'offsets': [offsets[name] for name in names],
            'itemsize': message.point_step,
        }
    )
    cloud: np.ndarray = np.ndarray(
        (message.height, message.width), dtype, message.data, strides=(message.row_step, message.point_step)
    )
    points = np.stack([cloud[name] for name in 'xyz'], axis=-1).astype(np.float32)
    if 'rgb' not in offsets:
        return points, None
    packed = cloud['rgb']
    return points, np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)
