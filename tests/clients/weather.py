"""What do the published weather formulas give? Written from their publications, apart from the engine's own code.

- `heat_index`: NWS Weather Prediction Center, The Heat Index Equation: the simple formula, averaged with the temperature;
  if that is 80 °F or more, Rothfusz's regression (SR 90-23) with the two adjustments.
- `dew_point`: Magnus formula with the constants of Alduchov and Eskridge (J. Appl. Meteor. 35, 1996, equation 21).
- `wind_chill`: JAG/TI 2001, as NWS (°F, mph) and Environment Canada (°C, km/h) publish it, each with its own constants.
- `apparent_temperature`: Steadman 1994, as the Bureau of Meteorology gives it: without radiation.
- `sea_level_pressure`: U.S. Standard Atmosphere 1976, equation 33a, turned around: the layer below the station warms by
  6.5 K/km.
"""

import math

# Equation 33a: g0' M0 / (R* L), in the units of the publication (m/s², kg/kmol, N m/(kmol K), K/m).
EXPONENT = 9.80665 * 28.9644 / (8.31432e3 * 6.5e-3)
# Rothfusz: the power of T (°F), the power of the humidity (%), the factor.
TERMS = [
    (0, 0, -42.379),
    (1, 0, 2.04901523),
    (0, 1, 10.14333127),
    (1, 1, -0.22475541),
    (2, 0, -0.00683783),
    (0, 2, -0.05481717),
    (2, 1, 0.00122874),
    (1, 2, 0.00085282),
    (2, 2, -0.00000199),
]


def rothfusz(fahrenheit, humidity):
    return math.fsum(factor * fahrenheit**i * humidity**j for i, j, factor in TERMS)


def heat_index_fahrenheit(fahrenheit, humidity):
    steadman = 0.5 * (fahrenheit + 61.0 + ((fahrenheit - 68.0) * 1.2) + (humidity * 0.094))
    # The publication's simple formula is already the mean of Steadman's value and the temperature.
    if steadman < 80.0:
        return steadman
    index = rothfusz(fahrenheit, humidity)
    if humidity < 13 and 80 <= fahrenheit <= 112:
        index -= ((13 - humidity) / 4) * math.sqrt(max(0.0, 17 - abs(fahrenheit - 95.0)) / 17)
    if humidity > 85 and 80 <= fahrenheit <= 87:
        index += ((humidity - 85) / 10) * ((87 - fahrenheit) / 5)
    return index


def heat_index(celsius, humidity):
    return (heat_index_fahrenheit(celsius * 9 / 5 + 32, humidity) - 32) * 5 / 9


def dew_point(celsius, humidity):
    saturated = 6.1094 * math.exp(17.625 * celsius / (243.04 + celsius))
    ratio = math.log(saturated * humidity / 100 / 6.1094)
    return 243.04 * ratio / (17.625 - ratio)


def wind_chill(celsius, metres_per_second):
    """Environment Canada's formula, in °C and km/h."""
    power = (metres_per_second * 3.6) ** 0.16
    return 13.12 + 0.6215 * celsius - 11.37 * power + 0.3965 * celsius * power


def wind_chill_fahrenheit(fahrenheit, miles_per_hour):
    """NWS's formula, in °F and mph."""
    power = miles_per_hour**0.16
    return 35.74 + 0.6215 * fahrenheit - 35.75 * power + 0.4275 * fahrenheit * power


def apparent_temperature(celsius, humidity, metres_per_second):
    vapour = humidity / 100 * 6.105 * math.exp(17.27 * celsius / (237.7 + celsius))
    return celsius + 0.33 * vapour - 0.70 * metres_per_second - 4.00


def sea_level_pressure(hectopascal, metres, celsius):
    station = celsius + 273.15
    return hectopascal * ((station + 6.5e-3 * metres) / station) ** EXPONENT
