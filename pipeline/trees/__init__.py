"""Builds region trees and chains of tiers from a scene."""
