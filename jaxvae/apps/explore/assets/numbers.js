// Numbers out of the page's data, and the decoder that runs on them.

/** Base64 as bytes. */
function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** A number of half precision, as its 16 bits, in full. */
function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** An array as packing.py packed it: {data, shape}, data flat. NaN where a value is missing. */
function unpack(packed) {
  const bytes = bytesOf(packed.data);
  const view = new DataView(bytes.buffer);
  const shape = packed.shape;
  const count = shape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(count);
  const read = {
    f2: (i) => halfToNumber(view.getUint16(2 * i, true)),
    f4: (i) => view.getFloat32(4 * i, true),
    i1: (i) => view.getInt8(i),
    u2: (i) => view.getUint16(2 * i, true),
    u4: (i) => view.getUint32(4 * i, true),
  }[packed.dtype];
  for (let i = 0; i < count; i++) data[i] = read(i);
  if (packed.low) {
    const columns = packed.low.length;
    for (let i = 0; i < count; i++) {
      const low = packed.low[i % columns];
      const high = packed.high[i % columns];
      data[i] = data[i] === 65535 ? NaN : low + (data[i] / 65534) * (high - low);
    }
  }
  return { data, shape };
}

/** One row of an unpacked array. */
function rowOf(array, i) {
  const width = array.shape[array.shape.length - 1];
  return array.data.subarray(i * width, (i + 1) * width);
}

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const elu = (x) => (x > 0 ? x : Math.expm1(x));

// As in jax.nn; gelu is the one by tanh.
const ACTIVATIONS = {
  elu,
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  leaky_relu: (x) => (x >= 0 ? x : 0.01 * x),
  relu: (x) => (x > 0 ? x : 0),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  sigmoid,
  silu: (x) => x * sigmoid(x),
  softplus,
  tanh: Math.tanh,
};

// What makes the mean of an example of the last layer's numbers, in place.
const OUTPUTS = {
  identity: () => {},
  sigmoid: (h) => { for (let i = 0; i < h.length; i++) h[i] = sigmoid(h[i]); },
  exp: (h) => { for (let i = 0; i < h.length; i++) h[i] = Math.exp(h[i]); },
  softmax: (h) => {
    const most = h.reduce((a, b) => Math.max(a, b), -Infinity);
    let sum = 0;
    for (let i = 0; i < h.length; i++) sum += h[i] = Math.exp(h[i] - most);
    for (let i = 0; i < h.length; i++) h[i] /= sum;
  },
};

const CURVES = { linear: (x) => x, sinh: (x) => Math.sinh(Math.max(-80, Math.min(80, x))) };

/** The numbers of a point's parts side by side, as the decoder takes them. */
function joined(parts, point) {
  const all = [];
  for (const part of parts) {
    all.push(...(point[part.role] || part.middle));
  }
  return all;
}

/** A decoder of dense layers: from a point to {values}. */
function denseDecoder(told, parts) {
  const layers = told.layers.map((layer) => {
    const kernel = unpack(layer.kernel);
    if (layer.step) {
      const step = unpack(layer.step).data;
      for (let i = 0; i < kernel.data.length; i++) kernel.data[i] *= step[i % step.length];
    }
    return { kernel: kernel.data, bias: unpack(layer.bias).data };
  });
  const activation = ACTIVATIONS[told.activation];
  const curve = CURVES[told.curve];
  const at = (numbers, i) => numbers[numbers.length === 1 ? 0 : i];
  return (point) => {
    let h = joined(parts, point);
    layers.forEach(({ kernel, bias }, number) => {
      const width = bias.length;
      const next = Float32Array.from(bias);
      for (let i = 0; i < h.length; i++) {
        const value = h[i];
        if (value === 0) continue; // as after most ReLUs
        const start = i * width;
        for (let j = 0; j < width; j++) next[j] += value * kernel[start + j];
      }
      if (number < layers.length - 1) {
        for (let j = 0; j < width; j++) next[j] = activation(next[j]);
      }
      h = next;
    });
    OUTPUTS[told.output](h);
    for (let i = 0; i < h.length; i++) h[i] = at(told.centre, i) + at(told.width, i) * curve(h[i]);
    return { values: h };
  };
}

/** What row i of packed examples shows: {tile}, {tops} or {values}. */
function sampleReader(packed) {
  if (packed.sprite) return (i) => ({ sprite: packed.sprite, tile: i });
  if (packed.tops) {
    const places = unpack(packed.tops.places);
    const values = unpack(packed.tops.values);
    return (i) => {
      const value = rowOf(values, i);
      return { tops: [...rowOf(places, i)].map((place, k) => [place, value[k]]) };
    };
  }
  const values = unpack(packed.values);
  return (i) => ({ values: rowOf(values, i) });
}

/** A decoder that gives the nearest of the points that were decoded beforehand. */
function latticeDecoder(told, space) {
  const shares = told.shares && unpack(told.shares);
  const plane = told.plane && unpack(told.plane);
  const sample = sampleReader(told);
  const factors = factorsOf(space);
  return (point) => {
    const place = space.style && toPlane(point.style, space.style.axes);
    let best = 0;
    let least = Infinity;
    for (let i = 0; i < told.count; i++) {
      let distance = 0;
      if (shares) distance += factors.categories * squares(rowOf(shares, i), point.categories);
      if (plane && distance < least) distance += factors.style * squares(rowOf(plane, i), place);
      if (distance < least) [best, least] = [i, distance];
    }
    return sample(best);
  };
}

/** What the squared distance in each part counts: as the decoder sees it. */
function factorsOf(space) {
  const factors = {};
  for (const part of space.parts) factors[part.role] = part.factor ** 2;
  return factors;
}

function squares(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}
