from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = 'ros_depthnet'


def share(folder):
    """Install every file of a top-level folder, sub-folders included, under share/ros_depthnet."""
    files = [path for path in Path(folder).rglob('*') if path.is_file() and '__pycache__' not in path.parts]
    folders = sorted({path.parent for path in files})
    return [(f'share/{NAME}/{sub}', [str(path) for path in files if path.parent == sub]) for sub in folders]


setup(
    name=NAME,
    version='1.0.0',
    description='Metric depth from motion for drones, on ROS 2',
    long_description=Path('README.md').read_text(encoding='utf-8') if Path('README.md').exists() else '',
    long_description_content_type='text/markdown',
    author='ros_depthnet maintainers',
    author_email='maintainers@ros-depthnet.example',
    maintainer='ros_depthnet maintainers',
    maintainer_email='maintainers@ros-depthnet.example',
    license='Apache-2.0',
    python_requires='>=3.10,<3.15',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['**/*.yaml', '**/*.html']},
    zip_safe=False,
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml', *glob('LICENSE')]),
        *share('launch'),
        *share('config'),
        *share('rviz'),
        *share('models'),
        *share('flights'),
    ],
    install_requires=[
        'numpy>=1.21',
        'opencv-python-headless>=4.5,<5',
        'onnxruntime>=1.16',
        'numba>=0.57',
        'onnx>=1.15',
        'pyyaml>=5.4',
        'mcap>=1.1',
        'rosbags>=0.10',
    ],
    extras_require={
        'ros': [
            'ros-kilted-rclpy',
            'ros-kilted-rmw-fastrtps-cpp',
            'ros-kilted-std-msgs',
            'ros-kilted-sensor-msgs',
            'ros-kilted-nav-msgs',
            'ros-kilted-geometry-msgs',
            'ros-kilted-visualization-msgs',
            'ros-kilted-diagnostic-msgs',
            'ros-kilted-lifecycle-msgs',
            'ros-kilted-rosgraph-msgs',
            'ros-kilted-std-srvs',
        ],
        'view': ['rerun-sdk>=0.24'],
        'gpu': ['onnxruntime-gpu>=1.16'],
        'openvino': ['openvino>=2024.0'],
        'train': [
            'torch>=2.4',
            'onnxscript>=0.5',
            'mvtb-data>=1.6',
            'scikit-learn>=1.2',
            'matplotlib',
        ],
        'cluster': ['distributed>=2024.1'],
        'docs': ['mkdocs>=1.6,<2', 'mkdocs-material>=9.5'],
        'test': [
            'pytest>=7',
            'pytest-xdist>=3.5',
            'pytest-rerunfailures>=14',
            'ruff>=0.6',
            'mypy>=1.13',
            'types-PyYAML',
            'distributed>=2024.1',
            'mkdocs>=1.6,<2',
            'mkdocs-material>=9.5',
        ],
    },
    entry_points={
        'console_scripts': [
            'depthnet = ros_depthnet.cli.main:main',
            'depth_node = ros_depthnet.ros.depth_node:main',
            'cloud_node = ros_depthnet.ros.cloud_node:main',
            'obstacle_node = ros_depthnet.ros.obstacle_node:main',
            'replay_node = ros_depthnet.ros.replay_node:main',
            'all_nodes = ros_depthnet.ros.all_nodes:main',
        ],
    },
)
