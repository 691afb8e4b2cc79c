"""Bundles measured in browsers, and the page that runs them there."""
