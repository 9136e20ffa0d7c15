"""A scene taken apart and built into region trees and chains of tiers."""
