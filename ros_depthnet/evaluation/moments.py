"""A flight's results, kept on disk while it lasts, so that its length doesn't matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.obstacles import Box
from ros_depthnet.evaluation.pictures import save
from ros_depthnet.whole_files import whole_file


@dataclass(frozen=True, eq=False)
class Moment:
    """
    What is known of one instant of a flight.

    image: (H, W, 3) uint8 RGB, of `camera`. depth_hw, deviation_hw: metres, of any size of the same view.
    T_world_cam: (4, 4), None where not known. boxes: obstacles in the world frame.
    """

    stamp_ns: int
    image: np.ndarray
    camera: Camera
    depth_hw: np.ndarray
    deviation_hw: np.ndarray
    T_world_cam: np.ndarray | None
    boxes: tuple[Box, ...]


class Moments(Sequence[Moment]):
    """The moments that have an image, a camera, depth and deviation; the parts may come in any order."""

    def __init__(self, folder: Path):
        """Keep arrays and images in a folder, which is made."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._parts: dict[int, set[str]] = {}
        self._cameras: dict[int, Camera] = {}
        self._poses: dict[int, np.ndarray] = {}
        self._boxes: dict[int, tuple[Box, ...]] = {}

    def add_image(self, stamp_ns: int, image: np.ndarray) -> None:
        """Keep an image, (H, W, 3) uint8 RGB, as a good JPEG."""
        save(self._path(stamp_ns, 'image', 'jpg'), image, 93)

    def add_depth(self, stamp_ns: int, depth_hw: np.ndarray) -> None:
        """Keep depth in metres."""
        self._save(stamp_ns, 'depth', depth_hw)

    def add_deviation(self, stamp_ns: int, deviation_hw: np.ndarray) -> None:
        """Keep the deviation of depth in metres."""
        self._save(stamp_ns, 'deviation', deviation_hw)

    def add_camera(self, stamp_ns: int, camera: Camera) -> None:
        """Keep the camera, at any size."""
        self._cameras[stamp_ns] = camera

    def add_pose(self, stamp_ns: int, T_world_cam: np.ndarray) -> None:
        """Keep where the camera was."""
        self._poses[stamp_ns] = T_world_cam

    def add_boxes(self, stamp_ns: int, boxes: tuple[Box, ...]) -> None:
        """Keep the obstacles."""
        self._boxes[stamp_ns] = boxes

    @property
    def stamps_ns(self) -> list[int]:
        """Return the stamps of the moments in the order of time."""
        complete = {'image', 'depth', 'deviation'}
        whole = (stamp for stamp, parts in self._parts.items() if parts == complete)
        return sorted(stamp for stamp in whole if stamp in self._cameras)

    def depth(self, stamp_ns: int) -> np.ndarray:
        """Return the depth of an instant."""
        return np.load(self._folder / f'{stamp_ns}.depth.npy')

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def __getitem__(self, index: int) -> Moment:  # type: ignore[override]  # nobody takes slices
        stamp_ns = self.stamps_ns[index]
        image = cv2.cvtColor(cv2.imread(str(self._folder / f'{stamp_ns}.image.jpg')), cv2.COLOR_BGR2RGB)
        camera = self._cameras[stamp_ns].resized(image.shape[1], image.shape[0])
        deviation_hw = np.load(self._folder / f'{stamp_ns}.deviation.npy')
        return Moment(
            stamp_ns,
            image,
            camera,
            self.depth(stamp_ns),
            deviation_hw,
            self._poses.get(stamp_ns),
            self._boxes.get(stamp_ns, ()),
        )

    def _save(self, stamp_ns: int, part: str, values: np.ndarray) -> None:
        with whole_file(self._path(stamp_ns, part, 'npy')) as file:
            np.save(file, values)

    def _path(self, stamp_ns: int, part: str, extension: str) -> Path:
        self._parts.setdefault(stamp_ns, set()).add(part)
        return self._folder / f'{stamp_ns}.{part}.{extension}'
