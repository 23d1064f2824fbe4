"""Programs of Triton, one for a heatmap or a part of it; `fused` says what they are for and launches them.

What they are given has no types, which Triton does not take: pointers, numbers, and constants in capitals.
They also run in its interpreter, which takes no truth of a scalar for that of a block: blocks are selected by
numbers.
"""

import triton
import triton.language as tl


@triton.jit
def sweep(
    cells, centres, maxima, parts, lines, per_row, length, sigma,
    gamma, REACH: tl.constexpr, BLOCK: tl.constexpr, LENGTH: tl.constexpr, STEPS: tl.constexpr,
    PARTS: tl.constexpr, BACKGROUND: tl.constexpr, SQUARE: tl.constexpr, PLAIN: tl.constexpr,
):  # fmt: skip
    """One read of a part of a heatmap: maxima of its stretches; what the losses and the flags need of it."""
    heatmap, chunk = tl.program_id(0), tl.program_id(1)
    base = heatmap.to(tl.int64) * lines * length
    centre_x, centre_y = tl.load(centres + 2 * heatmap), tl.load(centres + 2 * heatmap + 1)
    # Without a label nothing is near it.
    centre_y = tl.where(centre_x == centre_x, centre_y, float("nan"))
    reach = REACH * sigma
    along = tl.arange(0, LENGTH)
    far = tl.zeros([BLOCK, LENGTH], tl.float32)
    squared = tl.zeros([BLOCK, LENGTH], tl.float32)
    focal = tl.zeros([BLOCK, LENGTH], tl.float32)
    at_keypoint = tl.zeros([BLOCK, LENGTH], tl.float32)
    lowest = tl.full([BLOCK, LENGTH], float("inf"), tl.float32)
    broken = tl.zeros([BLOCK, LENGTH], tl.int32)
    endless = tl.zeros([BLOCK, LENGTH], tl.int32)
    for step in range(STEPS):
        first = (chunk * STEPS + step) * BLOCK
        line = first + tl.arange(0, BLOCK)
        there = (line < lines)[:, None] & (along < length)[None, :]
        at = base + line.to(tl.int64)[:, None] * length + along[None, :]
        value = tl.load(cells + at, mask=there, other=0.0).to(tl.float32)
        nan = value != value
        no_end = value == -float("inf")
        broken += nan.to(tl.int32)
        endless += no_end.to(tl.int32)
        top = tl.max(tl.where(there & (value == value), value, -float("inf")), 1)
        top = tl.where(tl.max(nan.to(tl.int32), 1) > 0, float("nan"), top)
        tl.store(maxima + heatmap.to(tl.int64) * lines + line, top, mask=line < lines)
        lowest = tl.minimum(lowest, tl.where(there & (value > -float("inf")), value, float("inf")))
        row = line // per_row
        if ((first + BLOCK - 1) // per_row >= centre_y - reach) & (first // per_row <= centre_y + reach):
            dy = (row - centre_y)[:, None]
            dx = ((line % per_row) * length)[:, None] + along[None, :] - centre_x
            target = tl.exp(-(dy * dy) / (2 * sigma * sigma)) * tl.exp(-(dx * dx) / (2 * sigma * sigma))
            error = value - target
            error = tl.where(there, error * error, 0.0)
            weight = tl.maximum(1.0 - target, 0.0) if BACKGROUND else 1.0 + target
            if SQUARE:
                weight = weight * weight
            elif PLAIN:
                weight = tl.full([BLOCK, LENGTH], 1.0, tl.float32)
            else:
                weight = tl.where(weight > 0, tl.exp(gamma * tl.log(weight)), 0.0)
            squared += error
            focal += weight * error
            at_keypoint += tl.where(target > 0.5, weight * error, 0.0)
        else:
            far += value * value
    out = parts + (heatmap.to(tl.int64) * tl.num_programs(1) + chunk) * PARTS
    tl.store(out, tl.sum(far))
    tl.store(out + 1, tl.sum(squared))
    tl.store(out + 2, tl.sum(focal))
    tl.store(out + 3, tl.sum(at_keypoint))
    tl.store(out + 4, tl.min(lowest))
    tl.store(out + 5, tl.sum(broken).to(tl.float32))
    tl.store(out + 6, tl.sum(endless).to(tl.float32))


@triton.jit
def variance_left(floor, depth):
    return (1 - floor * (1 + depth + 0.5 * depth * depth)) / (1 - floor * (1 + depth))


@triton.jit
def kernel(offset, shift, room, radius, sigma):
    """A Gaussian about `shift` that ends where the border would cut it."""
    tap = offset - shift
    reached = tl.abs(tap) <= tl.minimum(tl.maximum(room - 2, 0), radius)
    weight = tl.where(reached, tl.exp(-(tap * tap) / (2.0 * sigma * sigma)), 0.0)
    return weight / tl.sum(weight)


@triton.jit
def log_of(values, SMALLEST: tl.constexpr):
    return tl.log(tl.maximum(values, SMALLEST))


@triton.jit
def moments(
    window, inside, offset, value, positive, wide, close_x, close_y,
    FLOOR: tl.constexpr, LEAST: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Centroid of what is above the floor, from the highest cell, and its spread: x, y, xx, xy, yy."""
    ends = inside & (tl.abs(window) < float("inf")) & (window == window)
    ends = ends & (tl.abs(offset) <= wide)[:, None] & (tl.abs(offset) <= wide)[None, :]
    ground = tl.where(positive, 0.0, tl.min(tl.where(ends, window, float("inf"))))
    high = value - ground
    share = tl.where(high > 0, (window - ground) / high, 1.0)
    weight = tl.where(ends, tl.maximum(share - FLOOR, 0.0), 0.0)
    dx, dy = offset.to(tl.float32)[None, :], offset.to(tl.float32)[:, None]
    close = (tl.abs(offset) <= close_x)[None, :]
    close = close & (tl.abs(offset) <= close_y)[:, None]
    closest = tl.where(close, weight, 0.0)
    total = tl.sum(closest)
    shift_x, shift_y = tl.sum(closest * dx) / total, tl.sum(closest * dy) / total
    total = tl.sum(weight)
    mean_x, mean_y = tl.sum(weight * dx) / total, tl.sum(weight * dy) / total
    xx = tl.sum(weight * dx * dx) / total - shift_x * (2 * mean_x - shift_x)
    yy = tl.sum(weight * dy * dy) / total - shift_y * (2 * mean_y - shift_y)
    xy = tl.sum(weight * dx * dy) / total + shift_x * shift_y - (shift_x * mean_y + shift_y * mean_x)
    variance = (xx + yy) * (0.5 / variance_left(FLOOR, DEPTH))
    depth = DEPTH + 0.5 * (shift_x * shift_x + shift_y * shift_y) / tl.maximum(variance, LEAST)
    left = variance_left(tl.exp(-depth), depth)
    return shift_x, shift_y, xx / left, xy / left, yy / left


@triton.jit
def newton(
    window, offset, scale, near, room_x, room_y, blur, sigma,
    SMALLEST: tl.constexpr,
):  # fmt: skip
    """DARK: thirteen cells of the smoothed window, then one step of Newton on their logarithms: x, y."""
    values = tl.where(window == -float("inf"), 0.0, window / scale)
    in_dark = (tl.abs(offset) <= near)[:, None] & (tl.abs(offset) <= near)[None, :]
    values = tl.where(in_dark, values, 0.0)
    x0 = tl.sum(values * kernel(offset, 0, room_x, blur, sigma)[None, :], 1)
    x1 = tl.sum(values * kernel(offset, 1, room_x, blur, sigma)[None, :], 1)
    x2 = tl.sum(values * kernel(offset, 2, room_x, blur, sigma)[None, :], 1)
    b1 = tl.sum(values * kernel(offset, -1, room_x, blur, sigma)[None, :], 1)
    b2 = tl.sum(values * kernel(offset, -2, room_x, blur, sigma)[None, :], 1)
    y0, y1 = kernel(offset, 0, room_y, blur, sigma), kernel(offset, 1, room_y, blur, sigma)
    y2, c1 = kernel(offset, 2, room_y, blur, sigma), kernel(offset, -1, room_y, blur, sigma)
    c2 = kernel(offset, -2, room_y, blur, sigma)
    middle = log_of(tl.sum(x0 * y0), SMALLEST)
    gx = 0.5 * (log_of(tl.sum(x1 * y0), SMALLEST) - log_of(tl.sum(b1 * y0), SMALLEST))
    gy = 0.5 * (log_of(tl.sum(x0 * y1), SMALLEST) - log_of(tl.sum(x0 * c1), SMALLEST))
    hxx = 0.25 * (log_of(tl.sum(x2 * y0), SMALLEST) - 2 * middle + log_of(tl.sum(b2 * y0), SMALLEST))
    hyy = 0.25 * (log_of(tl.sum(x0 * y2), SMALLEST) - 2 * middle + log_of(tl.sum(x0 * c2), SMALLEST))
    hxy = 0.25 * (
        (log_of(tl.sum(x1 * y1), SMALLEST) - log_of(tl.sum(x1 * c1), SMALLEST))
        - (log_of(tl.sum(b1 * y1), SMALLEST) - log_of(tl.sum(b1 * c1), SMALLEST))
    )
    determinant = hxx * hyy - hxy * hxy
    stepping = (hxx < 0) & (determinant > 0) & (room_x > 1) & (room_y > 1)
    step_x = tl.where(stepping, -(hyy * gx - hxy * gy) / determinant, 0.0)
    step_y = tl.where(stepping, -(hxx * gy - hxy * gx) / determinant, 0.0)
    return tl.minimum(tl.maximum(step_x, -1.0), 1.0), tl.minimum(tl.maximum(step_y, -1.0), 1.0)


@triton.jit
def second_peak(
    base, sought, line, value, column, row, height, width,
    per_row, length, apart, LINES: tl.constexpr, LENGTH: tl.constexpr, SHARE: tl.constexpr,
):  # fmt: skip
    """The highest local maximum far enough from the first, in stretches that are high enough.

    Its value, −∞ where there is none, x, y.
    """
    along = tl.arange(0, LENGTH)
    second = -float("inf") + 0.0 * value.to(tl.float32)
    second = tl.where(second == second, second, -float("inf"))
    second_x, second_y = column * 0, row * 0
    at = tl.min(tl.where(sought, line, LINES))
    while at < LINES:
        this = at // per_row + 0 * along
        place = (at % per_row) * length + along
        here = along < length
        before_y, after_y = here & (this > 0), here & (this < height - 1)
        before_x, after_x = here & (place > 0), here & (place < width - 1)
        cell = base + this * width + place
        none = -float("inf")
        centre = tl.load(cell, mask=here, other=none).to(tl.float32)
        above = tl.load(cell - width, mask=before_y, other=none).to(tl.float32)
        below = tl.load(cell + width, mask=after_y, other=none).to(tl.float32)
        west = tl.load(cell - 1, mask=before_x, other=none).to(tl.float32)
        east = tl.load(cell + 1, mask=after_x, other=none).to(tl.float32)
        north_west = tl.load(cell - width - 1, mask=before_y & before_x, other=none).to(tl.float32)
        north_east = tl.load(cell - width + 1, mask=before_y & after_x, other=none).to(tl.float32)
        south_west = tl.load(cell + width - 1, mask=after_y & before_x, other=none).to(tl.float32)
        south_east = tl.load(cell + width + 1, mask=after_y & after_x, other=none).to(tl.float32)
        earlier = tl.maximum(tl.maximum(north_west, above), tl.maximum(north_east, west))
        later = tl.maximum(tl.maximum(south_west, below), tl.maximum(south_east, east))
        from_x, from_y = (place - column).to(tl.float32), (this - row).to(tl.float32)
        away = from_x * from_x > apart * apart - from_y * from_y
        peak = here & away & (centre >= SHARE * value) & (centre > earlier) & (centre >= later)
        highest = tl.max(tl.where(peak, centre, none))
        first = tl.min(tl.where(peak & (centre == highest), place, width))
        higher = highest > second
        second_x, second_y = tl.where(higher, first, second_x), tl.where(higher, at // per_row, second_y)
        second = tl.where(higher, highest, second)
        at = tl.min(tl.where(sought & (line > at), line, LINES))
    return second, second_x, second_y


@triton.jit
def summed(parts, chunks, CHUNKS: tl.constexpr, PARTS: tl.constexpr):
    """What `sweep` has left of all parts of a heatmap."""
    part = tl.arange(0, CHUNKS)
    known = part < chunks
    of = parts + part * PARTS
    far = tl.sum(tl.load(of, mask=known, other=0.0).to(tl.float64))
    squared = tl.sum(tl.load(of + 1, mask=known, other=0.0).to(tl.float64))
    focal = tl.sum(tl.load(of + 2, mask=known, other=0.0).to(tl.float64))
    at_keypoint = tl.sum(tl.load(of + 3, mask=known, other=0.0).to(tl.float64))
    lowest = tl.min(tl.load(of + 4, mask=known, other=float("inf")))
    broken = tl.sum(tl.load(of + 5, mask=known, other=0.0))
    endless = tl.sum(tl.load(of + 6, mask=known, other=0.0))
    return far, squared, focal, at_keypoint, lowest, broken, endless


@triton.jit
def highest(base, top, line, lines, per_row, length, LENGTH: tl.constexpr):
    """Value, column and row of the highest cell, of equal ones the first in reading order."""
    value = tl.max(tl.where(top == top, top, -float("inf")))
    best = tl.min(tl.where((top == value) & (line < lines), line, lines - 1))
    along = tl.arange(0, LENGTH)
    stretch = tl.load(base + best * length + along, mask=along < length, other=0.0).to(tl.float32)
    found = tl.min(tl.where((stretch == value) & (along < length), along, LENGTH - 1))
    return value, (best % per_row) * length + found, best // per_row


@triton.jit
def flags_of(not_finite, flat, low, at_border, diffuse):
    """The bits of `HeatmapFlag`."""
    first = not_finite.to(tl.int32) + 2 * flat.to(tl.int32) + 4 * low.to(tl.int32)
    return first + 8 * at_border.to(tl.int32) + 16 * diffuse.to(tl.int32)


@triton.jit
def second_written(out, sought, second, x, y, value):
    """Write the share and the place of the second peak."""
    there = second > -float("inf")
    tl.store(out + 8, tl.where(there, x.to(tl.float64), float("nan")))
    tl.store(out + 9, tl.where(there, y.to(tl.float64), float("nan")))
    share = tl.where(there, second / value, 0.0).to(tl.float64)
    tl.store(out + 18, tl.where(sought, share, float("nan")))


@triton.jit
def settled(
    out, finite, flat, width, height, column, row, shift_x, shift_y, step_x, step_y, xx, xy, yy,
    LEAST: tl.constexpr,
):  # fmt: skip
    """Write places and spread, with what is defined where there is no peak to measure."""
    nothing = float("nan")
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    place_at(out, 0, finite, flat, middle_x, middle_y, column, row)
    place_at(out, 2, finite, flat, middle_x, middle_y, column + shift_x, row + shift_y)
    place_at(out, 4, finite, flat, middle_x, middle_y, column + step_x, row + step_y)
    xx = tl.maximum(tl.where(flat, (width * width - 1) / 12, xx), LEAST)
    yy = tl.maximum(tl.where(flat, (height * height - 1) / 12, yy), LEAST)
    tl.store(out + 10, tl.where(finite, xx.to(tl.float64), nothing))
    tl.store(out + 11, tl.where(finite, tl.where(flat, 0.0, xy).to(tl.float64), nothing))
    tl.store(out + 12, tl.where(finite, yy.to(tl.float64), nothing))


@triton.jit
def judge(
    cells, centres, maxima, parts, rows, height, width, lines,
    per_row, length, chunks, sigma, near, wide, centroid, blur,
    apart, many_rows, LINES: tl.constexpr, LENGTH: tl.constexpr, CHUNKS: tl.constexpr,
    WINDOW: tl.constexpr, RADIUS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr, FLOOR: tl.constexpr,
    LEAST: tl.constexpr, SMALLEST: tl.constexpr, SHARE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """One heatmap: its peak, the places and the spread about it, the second peak, flags, losses."""
    heatmap = tl.program_id(0).to(tl.int64)
    base = cells + heatmap * lines * length
    out = rows + heatmap * WIDTH
    far, squared, focal, at_keypoint, lowest, broken, endless = summed(
        parts + heatmap * chunks * PARTS, chunks, CHUNKS, PARTS
    )
    line = tl.arange(0, LINES)
    top = tl.load(maxima + heatmap * lines + line, mask=line < lines, other=-float("inf"))
    value, column, row = highest(base, top, line, lines, per_row, length, LENGTH)
    finite = (broken == 0) & (value < float("inf")) & (value > -float("inf"))
    flat = finite & (lowest == value) & (endless == 0)
    placed = finite & (flat == 0)
    column, row = tl.where(placed, column, (width - 1) // 2), tl.where(placed, row, (height - 1) // 2)
    positive = finite & (value > 0)
    at_border = placed & ((column < 1) | (row < 1) | (column >= width - 1) | (row >= height - 1))
    # A high level away from the peak.
    usable = positive & (flat == 0)
    high_enough = tl.where(usable, SHARE * value, float("inf"))
    top = tl.where(usable, top, -float("inf"))
    beyond = (line < lines) & (tl.abs(line // per_row - row).to(tl.float32) > apart)
    pieces = tl.sum(((top >= high_enough) & beyond).to(tl.int32)).to(tl.float32)
    diffuse = (pieces > 0.5 * tl.sum(beyond.to(tl.int32)).to(tl.float32)) & (pieces > many_rows)
    # The window around it.
    offset = tl.arange(0, WINDOW) - RADIUS
    x, y = column + offset, row + offset
    inside_x = (x >= 0) & (x < width) & (offset <= RADIUS)
    inside_y = (y >= 0) & (y < height) & (offset <= RADIUS)
    inside = inside_y[:, None] & inside_x[None, :]
    window = tl.load(base + y[:, None] * width + x[None, :], mask=inside, other=0.0).to(tl.float32)
    room_x, room_y = tl.minimum(column, width - 1 - column), tl.minimum(row, height - 1 - row)
    shift_x, shift_y, xx, xy, yy = moments(
        window, inside, offset, value, positive, wide, tl.minimum(room_x, centroid),
        tl.minimum(room_y, centroid), FLOOR, LEAST, DEPTH,
    )  # fmt: skip
    step_x, step_y = newton(
        window, offset, tl.where(positive, value, 1.0), near, room_x, room_y, blur, sigma, SMALLEST
    )
    sought = (line < lines) & (tl.where(diffuse, -float("inf"), top) >= high_enough)
    second, second_x, second_y = second_peak(
        base, sought, line, value, column, row, height, width, per_row, length, apart, LINES, LENGTH, SHARE
    )
    settled(
        out, finite, flat, width, height, column, row, shift_x, shift_y, step_x, step_y, xx, xy, yy, LEAST
    )
    second_written(out, usable & (diffuse == 0), second, second_x, second_y, value)
    tl.store(out + 16, tl.where(broken == 0, value.to(tl.float64), float("nan")))
    low = finite & (value <= 0)
    tl.store(out + 17, flags_of(finite == 0, flat, low, at_border, diffuse).to(tl.float64))
    tl.store(out + 19, far + squared)
    tl.store(out + 20, far + focal)
    tl.store(out + 21, at_keypoint)
    tl.store(out + 22, (broken == lines * length).to(tl.float64))
    centre_x, centre_y = tl.load(centres + 2 * heatmap), tl.load(centres + 2 * heatmap + 1)
    tl.store(out + 23, ((centre_x == centre_x) & (centre_y == centre_y)).to(tl.float64))


@triton.jit
def place_at(out, at, finite, flat, middle_x, middle_y, x, y):
    nothing = float("nan")
    x, y = tl.where(flat, middle_x, x).to(tl.float64), tl.where(flat, middle_y, y).to(tl.float64)
    tl.store(out + at, tl.where(finite, x, nothing))
    tl.store(out + at + 1, tl.where(finite, y, nothing))


@triton.jit
def average(
    cells, parts, rows, height, width, lines, per_row, length,
    chunks, beta, SOFT: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
    WIDTH: tl.constexpr, LENGTH: tl.constexpr, CHUNKS: tl.constexpr, PARTS: tl.constexpr,
    LEAST: tl.constexpr, LEAST_EXPONENT: tl.constexpr,
):  # fmt: skip
    """Mean place and spread of a heatmap as a whole, summed about its highest cell."""
    heatmap = tl.program_id(0).to(tl.int64)
    base = cells + heatmap * lines * length
    out = rows + heatmap * WIDTH
    part = tl.arange(0, CHUNKS)
    of = parts + (heatmap * chunks + part) * PARTS
    lowest = tl.min(tl.load(of + 4, mask=part < chunks, other=float("inf")))
    value = tl.load(out + 16).to(tl.float32)
    finite = (value < float("inf")) & (value > -float("inf"))
    middle_x, middle_y = tl.load(out), tl.load(out + 1)
    about_x = tl.where(finite, middle_x, 0.0).to(tl.float32)
    about_y = tl.where(finite, middle_y, 0.0).to(tl.float32)
    ground = tl.where(value > 0, 0.0, lowest)
    along = tl.arange(0, LENGTH)
    total = tl.full([], 0.0, tl.float64)
    sx, sy, sxx, sxy, syy = total, total, total, total, total
    for chunk in range(chunks):
        s0 = tl.zeros([BLOCK, LENGTH], tl.float32)
        s1, s2 = s0, s0
        s3, s4, s5 = s0, s0, s0
        for step in range(STEPS):
            line = (chunk * STEPS + step) * BLOCK + tl.arange(0, BLOCK)
            there = (line < lines)[:, None] & (along < length)[None, :]
            at = line.to(tl.int64)[:, None] * length + along[None, :]
            cell = tl.load(base + at, mask=there, other=0.0).to(tl.float32)
            if SOFT:
                weight = tl.exp(tl.maximum((cell - value) * beta, LEAST_EXPONENT))
            else:
                level = (cell > -float("inf")).to(tl.float32)
                weight = tl.where(value > ground, tl.maximum(cell - ground, 0.0) / (value - ground), level)
            weight = tl.where(there, weight, 0.0)
            dx = ((line % per_row) * length)[:, None] + along[None, :] - about_x
            dy = (line // per_row).to(tl.float32)[:, None] - about_y
            s0 += weight
            s1 += weight * dx
            s2 += weight * dy
            s3 += weight * dx * dx
            s4 += weight * dx * dy
            s5 += weight * dy * dy
        total += tl.sum(s0).to(tl.float64)
        sx += tl.sum(s1).to(tl.float64)
        sy += tl.sum(s2).to(tl.float64)
        sxx += tl.sum(s3).to(tl.float64)
        sxy += tl.sum(s4).to(tl.float64)
        syy += tl.sum(s5).to(tl.float64)
    mean_x, mean_y = sx / total, sy / total
    nothing = float("nan")
    tl.store(out + 6, tl.where(finite, about_x + mean_x, nothing))
    tl.store(out + 7, tl.where(finite, about_y + mean_y, nothing))
    tl.store(out + 13, tl.where(finite, tl.maximum(sxx / total - mean_x * mean_x, LEAST), nothing))
    tl.store(out + 14, tl.where(finite, sxy / total - mean_x * mean_y, nothing))
    tl.store(out + 15, tl.where(finite, tl.maximum(syy / total - mean_y * mean_y, LEAST), nothing))
