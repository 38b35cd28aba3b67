"""The pipeline on Spark, where a log outgrows a machine; needs the extra ``spark`` and Java."""

from recsys.spark.log import SparkLog, read
from recsys.spark.session import spark_session

__all__ = ["SparkLog", "read", "spark_session"]
