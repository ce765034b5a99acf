// The Natural Earth files are stitched for a globe: shapes run across the antimeridian and around the pole. For a flat
// map their longitudes are made continuous (beyond ±180 where need be), and a shape that leaves the world on one side
// is drawn a second time where it enters on the other. Coordinates are [longitude, latitude].

export function unwrapLine(points) {
  let shift = 0;
  let previous = points[0][0];
  return points.map(([lon, lat]) => {
    if (lon - previous > 180) {
      shift -= 360;
    } else if (lon - previous < -180) {
      shift += 360;
    }
    previous = lon;
    return [lon + shift, lat];
  });
}

// Where the file is cut along the antimeridian all the same, the cut is no coast: the line without it, in pieces.
export function withoutCut(line) {
  const pieces = [[]];
  line.forEach((point, i) => {
    if (i > 0 && onAntimeridian(point) && onAntimeridian(line[i - 1])) {
      pieces.push([]);
    }
    pieces[pieces.length - 1].push(point);
  });
  return pieces.filter((piece) => piece.length > 1);
}

function onAntimeridian([lon]) {
  return Math.abs(Math.abs(lon) - 180) < 0.002;
}

// Rings of one polygon, the outer first. A ring that goes once around the world encloses a pole and is closed along it.
export function unwrapPolygon([first, ...others]) {
  const outer = unwrapLine(first);
  const start = outer[0];
  const end = outer[outer.length - 1];
  if (Math.abs(end[0] - start[0]) > 180) {
    const pole = start[1] < 0 ? -90 : 90;
    outer.push([end[0], pole], [start[0], pole], start);
  }
  const [west, east] = range(outer);
  const holes = others.map((ring) => {
    const hole = unwrapLine(ring);
    const shift = [0, -360, 360].find((s) => hole[0][0] + s >= west && hole[0][0] + s <= east) ?? 0;
    return shifted(hole, shift);
  });
  return [outer, ...holes];
}

// By how much a line, or the outer ring of a polygon, must be shifted to be seen in the world: once, seldom twice.
export function worlds(points) {
  const [west, east] = range(points);
  return [0, -360, 360].filter((s) => east + s > -180 && west + s < 180);
}

export function shifted(points, shift) {
  return shift === 0 ? points : points.map(([lon, lat]) => [lon + shift, lat]);
}

function range(points) {
  return points.reduce(([west, east], [lon]) => [Math.min(west, lon), Math.max(east, lon)], [Infinity, -Infinity]);
}
