"""What the drone computes: numpy and OpenCV only, no ROS, no torch."""
