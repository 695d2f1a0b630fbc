/**
 * One quad a picture. What is the same for all sources of a picture's pixels (place, light) is read from two textures by
 * the picture's number; an instance has only that number and the picture's rectangle on its page.
 */
export const VERTEX = `#version 300 es
precision highp float;
precision highp int;
layout(location = 0) in uint picture;
layout(location = 1) in vec4 rect;
uniform highp sampler2D places;
uniform highp sampler2D lights;
uniform highp sampler2D page;
uniform vec4 camera;
uniform vec2 scale;
uniform float leastLit;
uniform float count;
uniform bool searching;
out vec2 uv;
out vec2 fromMiddle;
flat out vec2 halfSize;
flat out vec2 state;
invariant gl_Position;
const float BIAS = SHARPER;

// Half a pixel of the copy of the page that is read, as neighbours touch; at least one whole pixel, as WebP stores
// colours at half the resolution.
vec2 inset() {
  vec2 whole = vec2(textureSize(page, 0));
  vec2 pixels = (rect.zw - rect.xy) * whole;
  float copy = log2(max(pixels.x, pixels.y) / (2.0 * max(halfSize.x, halfSize.y))) + BIAS;
  return max(1.0, 0.5 * exp2(copy)) / whole;
}

void main() {
  ivec2 at = ivec2(int(picture) % WIDTH, int(picture) / WIDTH);
  vec4 place = texelFetch(places, at, 0);
  state = texelFetch(lights, at, 0).rg;
  bool lit = searching && state.r > 0.0;
  vec2 size = rect.z > rect.x ? place.zw : vec2(0.0);
  float longer = scale.x * max(size.x, size.y);
  // Larger than its neighbours, as long as all are small.
  if (lit) size *= max(mix(1.5, 1.0, smoothstep(1.0, 4.0, longer / leastLit)), leastLit * (0.6 + 0.4 * state.r) / longer);
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vec2 side = corner * 2.0 - 1.0;
  float order = (float(picture) + 0.5) / count;
  // In front: the best hits, the other hits, everything else.
  float depth = lit ? -state.r * 0.9 - order * 0.002 : 0.1 + 0.8 * order;
  gl_Position = vec4((place.xy + side * size - camera.xy) * camera.zw, depth, 1.0);
  halfSize = size * scale.x;
  uv = mix(rect.xy + inset(), rect.zw - inset(), corner);
  fromMiddle = side * halfSize;
}`;

/** Coordinates are in device pixels where they are no texture's. */
export const FRAGMENT = `#version 300 es
precision highp float;
uniform highp sampler2D page;
uniform vec2 scale;
uniform bool searching;
uniform vec3 ground;
uniform vec3 accent;
uniform vec3 blank;
uniform bool isBlank;
in vec2 uv;
in vec2 fromMiddle;
flat in vec2 halfSize;
flat in vec2 state;
out vec4 color;
const float BIAS = SHARPER;

void main() {
  vec3 shown = isBlank ? blank : texture(page, uv, BIAS).rgb;
  bool lit = state.r > 0.0;
  if (searching && !lit) {
    float grey = dot(shown, vec3(0.299, 0.587, 0.114));
    shown = mix(ground, mix(vec3(grey), shown, 0.2), 0.2);
  }
  vec2 inside = halfSize - abs(fromMiddle);
  float edge = min(inside.x, inside.y);
  float most = 0.16 * min(halfSize.x, halfSize.y);
  if (state.g > 0.0 && edge < min(2.5 * scale.y, max(most, 1.0))) shown = accent;
  color = vec4(shown, 1.0);
}`;
