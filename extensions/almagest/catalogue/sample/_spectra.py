"""What the ground reflects, by wavelength: typical curves in round numbers, not measurements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Wavelengths of the curves below [µm].
WAVELENGTHS = (0.44, 0.49, 0.56, 0.665, 0.705, 0.74, 0.842, 0.865, 1.61, 2.20)

#: Reflectance at those wavelengths, of material that fills the pixel.
MATERIALS: dict[str, tuple[float, ...]] = {
    "sand": (0.13, 0.18, 0.28, 0.39, 0.42, 0.44, 0.47, 0.48, 0.57, 0.51),
    "red_sand": (0.07, 0.09, 0.16, 0.31, 0.35, 0.37, 0.41, 0.42, 0.51, 0.45),
    "dark_rock": (0.07, 0.08, 0.10, 0.125, 0.13, 0.135, 0.145, 0.15, 0.18, 0.17),
    "pale_rock": (0.13, 0.15, 0.18, 0.21, 0.22, 0.225, 0.235, 0.24, 0.26, 0.23),
    "soil": (0.05, 0.065, 0.10, 0.15, 0.17, 0.19, 0.23, 0.24, 0.32, 0.27),
    "salt": (0.22, 0.27, 0.33, 0.37, 0.39, 0.40, 0.41, 0.41, 0.36, 0.28),
    "mud": (0.07, 0.09, 0.12, 0.14, 0.145, 0.14, 0.14, 0.14, 0.09, 0.05),
    "crop": (0.02, 0.025, 0.065, 0.025, 0.11, 0.34, 0.50, 0.52, 0.22, 0.09),
    "grass": (0.03, 0.04, 0.08, 0.055, 0.13, 0.25, 0.34, 0.35, 0.24, 0.13),
    "straw": (0.06, 0.09, 0.15, 0.21, 0.25, 0.28, 0.32, 0.33, 0.37, 0.27),
    "forest": (0.015, 0.02, 0.036, 0.02, 0.06, 0.18, 0.26, 0.27, 0.11, 0.045),
    "mangrove": (0.015, 0.02, 0.044, 0.022, 0.075, 0.24, 0.33, 0.34, 0.10, 0.04),
    "savanna": (0.045, 0.06, 0.095, 0.125, 0.165, 0.20, 0.25, 0.26, 0.31, 0.23),
    "tundra": (0.05, 0.06, 0.085, 0.105, 0.125, 0.15, 0.18, 0.19, 0.24, 0.19),
    "urban": (0.11, 0.13, 0.15, 0.17, 0.18, 0.19, 0.21, 0.21, 0.23, 0.21),
    "burnt": (0.03, 0.035, 0.04, 0.05, 0.06, 0.07, 0.09, 0.09, 0.16, 0.15),
    "deep_water": (0.040, 0.034, 0.018, 0.007, 0.005, 0.004, 0.003, 0.003, 0.001, 0.001),
    "shallow_water": (0.065, 0.095, 0.115, 0.045, 0.022, 0.013, 0.009, 0.008, 0.002, 0.001),
    "turbid_water": (0.06, 0.085, 0.13, 0.135, 0.11, 0.065, 0.045, 0.042, 0.005, 0.003),
    "snow": (0.93, 0.93, 0.92, 0.90, 0.89, 0.88, 0.84, 0.83, 0.10, 0.07),
    "ice": (0.60, 0.62, 0.58, 0.49, 0.45, 0.41, 0.35, 0.33, 0.04, 0.03),
    "sea_ice": (0.60, 0.63, 0.61, 0.55, 0.51, 0.47, 0.41, 0.39, 0.06, 0.04),
    "melt_pond": (0.28, 0.32, 0.28, 0.15, 0.10, 0.075, 0.05, 0.045, 0.01, 0.005),
    "cloud": (0.86, 0.86, 0.85, 0.84, 0.84, 0.84, 0.83, 0.83, 0.62, 0.45),
}
NAMES = tuple(MATERIALS)


def reflectance(wavelength_um: float) -> npt.NDArray[np.float32]:
    """Of each of :data:`NAMES` at a wavelength [µm]; shape (materials,)."""
    table = [np.interp(wavelength_um, WAVELENGTHS, curve) for curve in MATERIALS.values()]
    return np.array(table, np.float32)


def path_reflectance(wavelength_um: float, sun_elevation_deg: float) -> float:
    """What clear air adds on the way, seen from the top of the atmosphere over sea level."""
    rayleigh = 0.0088 * wavelength_um**-4.08
    aerosol = 0.08 * wavelength_um**-1.3
    airmass = min(1 / np.sin(np.radians(max(sun_elevation_deg, 8.0))), 5.0)
    return float((0.4 * rayleigh + 0.035 * aerosol) * 0.5 * (airmass + 1) ** 0.8)


def transmittance(wavelength_um: float, sun_elevation_deg: float) -> float:
    """Share of the light that comes down to the ground and up again."""
    airmass = min(1 / np.sin(np.radians(max(sun_elevation_deg, 8.0))), 5.0)
    depth = 0.5 * (0.0088 * wavelength_um**-4.08) + 0.35 * (0.08 * wavelength_um**-1.3)
    return float(np.exp(-depth * (airmass + 1)))
