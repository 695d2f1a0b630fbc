/** Rows that are sent to the graphics card at a time: a whole page takes longer than a frame may. */
const STRIP_ROWS = 64;

/** Copies of a page whose cells are this wide, each half as large: in still smaller ones neighbours would run together. */
export const mipLevels = (cell: number): number => Math.max(1, Math.log2(cell) - 1);

/** An empty texture with room for this number of copies. */
export function pageTexture(gl: WebGL2RenderingContext, width: number, height: number, copies: number): WebGLTexture {
  const texture = gl.createTexture();
  const levels = Math.min(copies, Math.floor(Math.log2(Math.max(width, height))) + 1);
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, levels, gl.RGBA8, width, height);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, levels > 1 ? gl.LINEAR_MIPMAP_LINEAR : gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return texture;
}

/** A page on its way to its texture, strip by strip. */
export interface Upload {
  /** Sends the next strip; true: that was the last one. */
  next: () => boolean;
  drop: () => void;
}

/** Sends pixels to their place in a texture; `mips`: and makes the smaller copies when all are there. */
export function uploadOf(
  gl: WebGL2RenderingContext,
  texture: WebGLTexture,
  image: ImageBitmap,
  { x = 0, y = 0, mips = true } = {},
): Upload {
  const { width, height } = image;
  let top = 0;
  return {
    next() {
      const rows = Math.min(STRIP_ROWS, height - top);
      gl.activeTexture(gl.TEXTURE0);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.pixelStorei(gl.UNPACK_SKIP_ROWS, top);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, x, y + top, width, rows, gl.RGBA, gl.UNSIGNED_BYTE, image);
      gl.pixelStorei(gl.UNPACK_SKIP_ROWS, 0);
      top += rows;
      if (top < height) return false;
      if (mips) gl.generateMipmap(gl.TEXTURE_2D);
      image.close();
      return true;
    },
    drop: () => image.close(),
  };
}

/** Uploads that wait for time in a frame. */
export class Uploads {
  private waiting: { upload: Upload; done: () => void }[] = [];

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  add(upload: Upload, done: () => void): void {
    this.waiting.push({ upload, done });
  }

  /** Goes on for about this number of milliseconds. */
  work(budgetMs: number): void {
    const end = performance.now() + budgetMs;
    for (let first = this.waiting[0]; first && performance.now() < end; first = this.waiting[0]) {
      if (!first.upload.next()) continue;
      this.waiting.shift();
      first.done();
    }
  }

  clear(): void {
    for (const { upload } of this.waiting) upload.drop();
    this.waiting = [];
  }
}
