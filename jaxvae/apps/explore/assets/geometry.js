// The polygon in which the simplex is shown, and the plane of the style.

/** The corners of a regular polygon on the circle of radius 1, the first at the top. */
function cornersOf(count) {
  if (count === 2) return [[-1, 0], [1, 0]];
  return Array.from({ length: count }, (_, k) => {
    const angle = (2 * Math.PI * k) / count - Math.PI / 2;
    return [Math.cos(angle), Math.sin(angle)];
  });
}

const cross = (a, b) => a[0] * b[1] - a[1] * b[0];
const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];

/** The nearest place on the way from one place to another. */
function nearestOnSide(place, from, to) {
  const way = minus(to, from);
  const gone = minus(place, from);
  const t = (gone[0] * way[0] + gone[1] * way[1]) / (way[0] ** 2 + way[1] ** 2);
  const share = Math.max(0, Math.min(1, t));
  return [from[0] + share * way[0], from[1] + share * way[1]];
}

/** A place of the polygon, or the nearest one of it. */
function intoPolygon(place, corners) {
  const count = corners.length;
  if (count === 2) return nearestOnSide(place, corners[0], corners[1]);
  const inside = corners.every((corner, k) =>
    cross(minus(corner, place), minus(corners[(k + 1) % count], place)) >= 0);
  if (inside) return place;
  let best = corners[0];
  let least = Infinity;
  corners.forEach((corner, k) => {
    const on = nearestOnSide(place, corner, corners[(k + 1) % count]);
    const distance = squares(on, place);
    if (distance < least) [best, least] = [on, distance];
  });
  return best;
}

/** The Wachspress coordinates of a place in the polygon: a share for each corner, of sum 1. */
function sharesAt(place, corners) {
  const count = corners.length;
  if (count === 2) return [(1 - place[0]) / 2, (1 + place[0]) / 2];
  const areas = corners.map((corner, k) =>
    Math.max(0, cross(minus(corner, place), minus(corners[(k + 1) % count], place))));
  const mean = areas.reduce((a, b) => a + b, 0) / count;
  // No division by an area: it is zero on a side.
  const weights = corners.map((_, k) => {
    let product = 1;
    for (let i = 0; i < count; i++) {
      if (i !== k && i !== (k + count - 1) % count) product *= areas[i] / mean;
    }
    return product;
  });
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** Where shares lie in the polygon: the mean of the corners. */
function placeOf(shares, corners) {
  const place = [0, 0];
  corners.forEach((corner, k) => {
    place[0] += shares[k] * corner[0];
    place[1] += shares[k] * corner[1];
  });
  return place;
}

/** The place of a style in the plane of its axes. */
function toPlane(style, axes) {
  const along = axes.map((axis) => axis.reduce((sum, a, i) => sum + a * style[i], 0));
  return axes.length > 1 ? along : [along[0], 0];
}

/** A style moved so that its place in the plane is another, all else in it as it was. */
function movedTo(style, axes, place) {
  const now = toPlane(style, axes);
  const next = Float64Array.from(style);
  axes.forEach((axis, k) => {
    for (let i = 0; i < next.length; i++) next[i] += (place[k] - now[k]) * axis[i];
  });
  return next;
}

/** Shares of which one is given and the others keep their proportions. */
function withShare(shares, k, share) {
  const rest = 1 - shares[k];
  return shares.map((own, i) => {
    if (i === k) return share;
    return rest > 1e-9 ? (own * (1 - share)) / rest : (1 - share) / (shares.length - 1);
  });
}
