// Draws parts of a frame: for every pixel the backward map, interpolated from its coarse grids, then the person over the
// background. The same formulas as `look_up.py` and `layers.py`, where they are explained.

struct Cells {       // a CellMap
    left: f32,       // of its box, pixels
    top: f32,
    step: f32,       // pixels
    columns: u32,    // of its grid
    first: u32,      // index of its first position in `grids`
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

struct Frame {
    whole: Cells,
    around: Cells,
    middle: Cells,
    size: vec2f,              // of the frame, pixels
    texture_scale: f32,
    weight_pitch: u32,        // of the weight of the middle, bytes
    weight_corner: vec2f,     // its box, pixels
    pad: vec2f,
}

@group(0) @binding(0) var<uniform> frame: Frame;
@group(0) @binding(1) var<storage, read> grids: array<vec2f>;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var person: texture_2d<f32>;      // premultiplied
@group(0) @binding(4) var smoothly: sampler;
@group(0) @binding(5) var background: texture_2d<f32>;

@vertex
fn corner(
    @builtin(vertex_index) vertex: u32,
    @location(0) box: vec4f,  // left, top, right, bottom, pixels
) -> @builtin(position) vec4f {
    let at = vec2f(select(box.x, box.z, (vertex & 1u) != 0u), select(box.y, box.w, (vertex & 2u) != 0u));
    let unit = at / frame.size;
    return vec4f(2.0 * unit.x - 1.0, 1.0 - 2.0 * unit.y, 0.0, 1.0);
}

fn position(cells: Cells, at: vec2f) -> vec2f {
    let place = (at - vec2f(cells.left, cells.top)) / cells.step + 0.5;  // the grid has a rim of one cell
    let cell = floor(place);
    let share = place - cell;
    let first = cells.first + u32(cell.y) * cells.columns + u32(cell.x);
    let upper = mix(grids[first], grids[first + 1u], share.x);
    let below = first + cells.columns;
    let lower = mix(grids[below], grids[below + 1u], share.x);
    return mix(upper, lower, share.y);
}

fn drawn(pixel: vec4f, found: vec2f) -> vec4f {
    let look_up = round(found * (32.0 * frame.texture_scale)) / 32.0;  // OpenCV's `remap` knows 32 places in a pixel
    let moved = textureSampleLevel(person, smoothly, (look_up + 0.5) / vec2f(textureDimensions(person)), 0.0);
    let behind = textureLoad(background, vec2i(pixel.xy), 0).rgb;
    return vec4f(moved.rgb + behind * (1.0 - moved.a), 1.0);
}

@fragment
fn draw_whole(@builtin(position) pixel: vec4f) -> @location(0) vec4f {
    return drawn(pixel, position(frame.whole, pixel.xy));
}

@fragment
fn draw_around(@builtin(position) pixel: vec4f) -> @location(0) vec4f {
    return drawn(pixel, position(frame.around, pixel.xy));
}

@fragment
fn draw_middle(@builtin(position) pixel: vec4f) -> @location(0) vec4f {
    let place = vec2u(pixel.xy - frame.weight_corner);
    let index = place.y * frame.weight_pitch + place.x;
    let weight = f32((weights[index >> 2u] >> (8u * (index & 3u))) & 255u) / 255.0;
    let outer = position(frame.around, pixel.xy);
    return drawn(pixel, outer + weight * (position(frame.middle, pixel.xy) - outer));
}
