"""Drawing on the graphics chip, through wgpu: Vulkan, Metal or Direct3D 12."""
