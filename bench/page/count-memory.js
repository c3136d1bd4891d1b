// Counts what a runtime allocates, from outside: GPU buffers and textures, or the WebAssembly memory.
// Loaded before the runtime; `self.allocated()` gives { allocatedBytes, largestBytes }: most at once, largest single one.
(() => {
  const live = new Map();
  let now = 0;
  let most = 0;
  let largest = 0;
  const memories = new Set();

  const add = (object, bytes) => {
    remove(object);
    live.set(object, bytes);
    now += bytes;
    most = Math.max(most, now);
    largest = Math.max(largest, bytes);
  };
  const remove = (object) => {
    now -= live.get(object) ?? 0;
    live.delete(object);
  };
  /** Replaces a method; `after(this, arguments, result)` sees every call. */
  const watch = (prototype, name, after) => {
    const original = prototype?.[name];
    if (original === undefined) return;
    prototype[name] = function (...args) {
      const result = original.apply(this, args);
      after(this, args, result);
      return result;
    };
  };

  // WebGPU
  watch(self.GPUDevice?.prototype, 'createBuffer', (_, [{ size }], buffer) => add(buffer, size));
  watch(self.GPUBuffer?.prototype, 'destroy', (buffer) => remove(buffer));
  watch(self.GPUDevice?.prototype, 'createTexture', (_, __, texture) =>
    add(texture, texture.width * texture.height * texture.depthOrArrayLayers * 4));
  watch(self.GPUTexture?.prototype, 'destroy', (texture) => remove(texture));

  // WebGL2
  const GL = self.WebGL2RenderingContext?.prototype;
  const bound = new Map();
  const BYTES = {
    R8: 1, RED: 1, RGBA8: 4, RGBA: 4, R16F: 2, RG16F: 4, RGBA16F: 8, R32F: 4, RG32F: 8, RGBA32F: 16, RGBA8UI: 4, R8UI: 1, RGBA32UI: 16, RGBA32I: 16,
  };
  const texelBytes = new Map(Object.entries(BYTES).map(([name, bytes]) => [GL?.[name], bytes]));
  const key = (target) => (target === GL.TEXTURE_3D || target === GL.TEXTURE_2D_ARRAY ? target : GL.TEXTURE_2D);
  if (GL !== undefined) {
    watch(GL, 'bindTexture', (_, [target, texture]) => bound.set(key(target), texture));
    const sized = (target, internal, width, height, depth = 1) => {
      const texture = bound.get(key(target));
      if (texture) add(texture, (texelBytes.get(internal) ?? 4) * width * height * depth);
    };
    watch(GL, 'texImage2D', (_, args) => {
      if (args[1] === 0 && args.length >= 9) sized(args[0], args[2], args[3], args[4]);
    });
    watch(GL, 'texStorage2D', (_, [target, , internal, width, height]) => sized(target, internal, width, height));
    watch(GL, 'texStorage3D', (_, [target, , internal, width, height, depth]) => sized(target, internal, width, height, depth));
    watch(GL, 'deleteTexture', (_, [texture]) => remove(texture));
    watch(GL, 'bindBuffer', (_, [target, buffer]) => bound.set(target, buffer));
    watch(GL, 'bufferData', (_, [target, data]) => {
      const buffer = bound.get(target);
      if (buffer) add(buffer, typeof data === 'number' ? data : (data?.byteLength ?? 0));
    });
    watch(GL, 'deleteBuffer', (_, [buffer]) => remove(buffer));
  }

  // WebAssembly: memories made here, and those that a module makes itself.
  const Memory = WebAssembly.Memory;
  WebAssembly.Memory = function (descriptor) {
    const memory = new Memory(descriptor);
    memories.add(memory);
    return memory;
  };
  WebAssembly.Memory.prototype = Memory.prototype;
  const remember = (instance) => {
    for (const item of Object.values(instance.exports)) if (item instanceof Memory) memories.add(item);
  };
  for (const name of ['instantiate', 'instantiateStreaming']) {
    const original = WebAssembly[name];
    WebAssembly[name] = async (...args) => {
      const result = await original.apply(WebAssembly, args);
      remember(result.instance ?? result);
      return result;
    };
  }

  self.allocated = (kind) => {
    if (kind === 'gpu') return { allocatedBytes: most, largestBytes: largest };
    const sizes = [...memories].map((memory) => memory.buffer.byteLength);
    return { allocatedBytes: sizes.reduce((a, b) => a + b, 0), largestBytes: Math.max(0, ...sizes) };
  };
})();
