"""What numbers of few patients can claim: intervals, and what they rest on."""
