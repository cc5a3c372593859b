"""The frames of recorded flights, through the same intake as a live one's."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ros_depthnet.core.frames import BadImage, Frame
from ros_depthnet.core.reasons import Drop, MessageRefusal, Refusal
from ros_depthnet.flight.bag import Bag
from ros_depthnet.flight.intake import Arrival, Intake, IntakeOptions
from ros_depthnet.flight.masks import read_mask
from ros_depthnet.flight.mounting import RecordedMounting
from ros_depthnet.flight.posed_sequence import INDEX_NAME, PosedSequence
from ros_depthnet.flight.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM, Topic
from ros_depthnet.flight.transforms import DEFAULT_BODY_FRAME, STATIC_TRANSFORMS

_END_OF_TIME = float('inf')


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """
    A frame, and how often time had run back before it: frames of two epochs are two flights.

    T_body_cam: (4, 4), the camera's mounting where the recording tells.
    """

    frame: Frame
    epoch: int = 0
    T_body_cam: np.ndarray | None = None


def recorded_frames(
    path: Path, refused: Callable[[Refusal], None], options: IntakeOptions | None = None
) -> Iterator[RecordedFrame]:
    """
    Return the frames of a rosbag2 or a posed sequence, in the order of recording.

    `refused` is told of each image that makes no frame, and of what is lost of a damaged bag. Raises
    RecordingError or SequenceError where there is nothing to be had.
    """
    if (path / INDEX_NAME).is_file():
        sequence = PosedSequence.load(path)
        masked_hw = read_mask(options.mask_file) if options and options.mask_file else None

        def recorded(i: int) -> RecordedFrame:
            return RecordedFrame(replace(sequence.frame(i), masked_hw=masked_hw))

        return _sound((functools.partial(recorded, i) for i in range(len(sequence.frames))), refused)
    options = options or IntakeOptions()
    bag = Bag(
        path, lambda sentence: refused(MessageRefusal(Drop.DAMAGED, {'why': sentence})), world_frame=options.world_frame
    )
    bag.require(CAMERA_INFO, ODOM)
    return bag_frames(bag, refused, options)


def recorded_mounting(path: Path, options: IntakeOptions) -> np.ndarray | None:
    """Return T_body_cam, (4, 4), that a bag's static transforms or the options tell; None for a posed sequence."""
    if (path / INDEX_NAME).is_file():
        return None
    bag = Bag(path, world_frame=options.world_frame)
    names = {}
    for record, topic in bag.events():
        if topic in (IMAGE, COMPRESSED, ODOM) and topic not in names:
            message = bag.message(record)
            if message is not None:
                names[topic] = (
                    getattr(message, 'child_frame_id', '') or options.body_frame or DEFAULT_BODY_FRAME
                    if topic is ODOM
                    else message.header.frame_id
                )
        if ODOM in names and len(names) > 1:
            break
    camera_frame = names.get(IMAGE) or names.get(COMPRESSED) or ''
    return RecordedMounting(bag.static_transforms(), options).T_body_cam(names.get(ODOM, ''), camera_frame)


def bag_frames(bag: Bag, refused: Callable[[Refusal], None], options: IntakeOptions) -> Iterator[RecordedFrame]:
    """Return the frames of an open bag that has images, camera_info and poses; see `recorded_frames`."""
    images = IMAGE if IMAGE in bag.topics else COMPRESSED
    intake = Intake(options, RecordedMounting(bag.static_transforms(), options), bag.name(images))

    def recorded(arrival: Arrival) -> RecordedFrame:
        return RecordedFrame(arrival.frame(), arrival.epoch, arrival.pose.T_body_cam)

    return _sound(
        (
            outcome if isinstance(outcome, Refusal) else functools.partial(recorded, outcome)
            for outcome in _outcomes(bag, intake, images)
        ),
        refused,
    )


def _sound(
    outcomes: Iterable[Callable[[], RecordedFrame] | Refusal], refused: Callable[[Refusal], None]
) -> Iterator[RecordedFrame]:
    """Return the frames that can be decoded, and tell `refused` of the others: a damaged image costs itself alone."""
    for outcome in outcomes:
        if isinstance(outcome, Refusal):
            refused(outcome)
            continue
        try:
            yield outcome()
        except BadImage as error:
            refused(Refusal(Drop.BAD_IMAGE, {'why': str(error)}))


def _outcomes(bag: Bag, intake: Intake, images: Topic) -> Iterator[Arrival | Refusal]:
    for message in bag.static_messages():
        yield from intake.pose(message, STATIC_TRANSFORMS)
    for record, topic in bag.events():
        now = record.time_ns / 1e9
        yield from intake.expire(now)
        message = bag.message(record) if topic in (images, CAMERA_INFO, ODOM) else None
        if message is None:
            continue
        if topic is ODOM:
            yield from intake.pose(message, record.type)
        elif topic is CAMERA_INFO:
            yield from intake.camera_info(message)
        else:
            yield from intake.image(message, now)
    yield from intake.expire(_END_OF_TIME)
