"""The words everybody uses: views, frames, samples, model specifications, findings, records."""
