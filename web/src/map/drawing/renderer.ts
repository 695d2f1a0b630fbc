import type { Camera, Size } from "../engine/camera";
import { FRAGMENT, VERTEX } from "./shaders";

/** Width of the textures that hold something for each picture. */
const WIDTH = 1024;
/** Of an instance: the picture's number, and four 16-bit texture coordinates. */
const INSTANCE_BYTES = 12;
/** Added to the number of the copy of a page that is read: a little larger copies, so that small pictures stay crisp. */
const SHARPER = "-0.7";
/** A texture coordinate of 1. */
const STEPS = 65535;
const PAGE_UNIT = 0;
const PLACES_UNIT = 1;
const LIGHTS_UNIT = 2;

export type Rgb = readonly [number, number, number];

export interface Look {
  ground: Rgb;
  accent: Rgb;
  blank: Rgb;
}

/** Pictures that are drawn from one texture. `texture` null: they are plain rectangles, while nothing is loaded. */
export interface Batch {
  texture: WebGLTexture | null;
  array: WebGLVertexArrayObject;
  buffer: WebGLBuffer;
  count: number;
}

export interface Scene {
  camera: Camera;
  view: Size;
  /** Device pixels of a CSS pixel. */
  ratio: number;
  /** Whether pictures without light are dimmed. */
  searching: boolean;
  look: Look;
  /** The sharpest first: what is drawn later stays behind. */
  batches: Iterable<Batch>;
}

/** Side of a lit picture, CSS pixels, at least. */
const LEAST_LIT_PX = 26;

/** Draws pictures with WebGL2. Raises Error where a shader can't be built. */
export class Renderer {
  private readonly program: WebGLProgram;
  private readonly places: WebGLTexture;
  private readonly lights: WebGLTexture;
  private readonly uniforms: Record<string, WebGLUniformLocation | null> = {};
  private readonly rows: number;

  constructor(
    readonly gl: WebGL2RenderingContext,
    private readonly count: number,
  ) {
    this.rows = Math.max(1, Math.ceil(count / WIDTH));
    this.program = build(gl);
    // biome-ignore lint/correctness/useHookAtTopLevel: a call of WebGL, which is no hook
    gl.useProgram(this.program);
    for (const name of [
      ...["camera", "scale", "leastLit", "count", "searching", "ground", "accent", "blank", "isBlank"],
      ...["page", "places", "lights"],
    ])
      this.uniforms[name] = gl.getUniformLocation(this.program, name);
    this.places = this.dataTexture(gl.RGBA32F, PLACES_UNIT);
    this.lights = this.dataTexture(gl.RG8, LIGHTS_UNIT);
    gl.uniform1i(this.uniform("page"), PAGE_UNIT);
    gl.uniform1i(this.uniform("places"), PLACES_UNIT);
    gl.uniform1i(this.uniform("lights"), LIGHTS_UNIT);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
  }

  /** (N, 4): the middle of each picture and half its sides, in cells. */
  setPlaces(places: Float32Array): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + PLACES_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, this.places);
    const whole = new Float32Array(WIDTH * this.rows * 4);
    whole.set(places);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, this.rows, gl.RGBA, gl.FLOAT, whole);
  }

  /** (N, 2): how bright a hit is (0: no hit, 255: the best one), and whether it is selected. */
  setLights(lights: Uint8Array): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + LIGHTS_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, this.lights);
    const whole = new Uint8Array(WIDTH * this.rows * 2);
    whole.set(lights);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, this.rows, gl.RG, gl.UNSIGNED_BYTE, whole);
  }

  /** How many instances of this texture there is room for. */
  batch(texture: WebGLTexture | null, capacity: number): Batch {
    const { gl } = this;
    const array = gl.createVertexArray();
    const buffer = gl.createBuffer();
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, capacity * INSTANCE_BYTES, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, INSTANCE_BYTES, 0);
    gl.vertexAttribDivisor(0, 1);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribPointer(1, 4, gl.UNSIGNED_SHORT, true, INSTANCE_BYTES, 4);
    gl.vertexAttribDivisor(1, 1);
    return { texture, array, buffer, count: 0 };
  }

  /** Replaces instances from the one with number `first` on. */
  fill(batch: Batch, instances: Instances, first = 0): void {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, batch.buffer);
    gl.bufferSubData(gl.ARRAY_BUFFER, first * INSTANCE_BYTES, instances.bytes);
    batch.count = Math.max(batch.count, first + instances.count);
  }

  remove(batch: Batch): void {
    this.gl.deleteVertexArray(batch.array);
    this.gl.deleteBuffer(batch.buffer);
    this.gl.deleteTexture(batch.texture);
  }

  draw({ camera, view, ratio, searching, look, batches }: Scene): void {
    const { gl } = this;
    const pixels = camera.scale * ratio;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(...look.ground, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniform4f(
      this.uniform("camera"),
      camera.x,
      camera.y,
      (2 * camera.scale) / view.width,
      (-2 * camera.scale) / view.height,
    );
    gl.uniform2f(this.uniform("scale"), pixels, ratio);
    gl.uniform1f(this.uniform("leastLit"), (LEAST_LIT_PX / 2) * ratio);
    gl.uniform1f(this.uniform("count"), Math.max(1, this.count));
    gl.uniform1i(this.uniform("searching"), searching ? 1 : 0);
    for (const name of ["ground", "accent", "blank"] as const) gl.uniform3f(this.uniform(name), ...look[name]);
    gl.activeTexture(gl.TEXTURE0 + PLACES_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, this.places);
    gl.activeTexture(gl.TEXTURE0 + LIGHTS_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, this.lights);
    gl.activeTexture(gl.TEXTURE0 + PAGE_UNIT);
    for (const batch of batches) {
      gl.uniform1i(this.uniform("isBlank"), batch.texture ? 0 : 1);
      gl.bindTexture(gl.TEXTURE_2D, batch.texture);
      gl.bindVertexArray(batch.array);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, batch.count);
    }
  }

  private uniform(name: string): WebGLUniformLocation | null {
    return this.uniforms[name] ?? null;
  }

  private dataTexture(format: number, unit: number): WebGLTexture {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, WIDTH, this.rows);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    return texture;
  }
}

/** Instances as the buffer has them. */
export class Instances {
  readonly bytes: ArrayBuffer;
  private readonly numbers: Uint32Array;
  private readonly corners: Uint16Array;
  count = 0;

  constructor(capacity: number) {
    this.bytes = new ArrayBuffer(capacity * INSTANCE_BYTES);
    this.numbers = new Uint32Array(this.bytes);
    this.corners = new Uint16Array(this.bytes);
  }

  /** A picture and its rectangle on a page of this size, in pixels. */
  add(
    picture: number,
    rect: { x: number; y: number; w: number; h: number },
    page: { width: number; height: number },
  ): void {
    const at = this.count;
    this.count += 1;
    this.numbers[at * 3] = picture;
    const [across, down] = [STEPS / page.width, STEPS / page.height];
    this.corners[at * 6 + 2] = rect.x * across + 0.5;
    this.corners[at * 6 + 3] = rect.y * down + 0.5;
    this.corners[at * 6 + 4] = (rect.x + rect.w) * across + 0.5;
    this.corners[at * 6 + 5] = (rect.y + rect.h) * down + 0.5;
  }
}

function build(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (!shader) throw new Error("The graphics context is lost.");
    gl.shaderSource(shader, source.replaceAll("WIDTH", String(WIDTH)).replaceAll("SHARPER", SHARPER));
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
    throw new Error(`The map's shaders can't be built. ${gl.getProgramInfoLog(program) ?? ""}`);
  return program;
}
