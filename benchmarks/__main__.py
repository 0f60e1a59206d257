"""make bench"""

from benchmarks.stop import stoppable

with stoppable():
    from benchmarks import bench  # not before: this takes a second, and can be stopped too

    bench.main()
