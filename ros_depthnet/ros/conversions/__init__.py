"""Between ROS messages and the arrays and dataclasses of core: one module per message family."""
