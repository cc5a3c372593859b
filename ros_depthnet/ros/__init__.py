"""The thin ROS 2 layer: messages, parameters, QoS, diagnostics and one file per node."""
