"""
What ROS messages say, as arrays and dataclasses: one module per message family.

Everything here reads message-shaped objects, of rclpy and of rosbags alike, and imports neither.
"""
