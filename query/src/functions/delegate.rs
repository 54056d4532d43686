//! Delegation of an aggregate to another one: all that the planner asks about it, except for its accumulators, the
//! other one answers.

/// The methods of `AggregateUDFImpl` that a type passes on to the other aggregate, which is its field `0`.
macro_rules! delegate_aggregate {
    () => {
        fn name(&self) -> &str {
            self.0.name()
        }

        fn aliases(&self) -> &[String] {
            self.0.aliases()
        }

        fn schema_name(
            &self,
            params: &datafusion::logical_expr::expr::AggregateFunctionParams,
        ) -> Result<String> {
            self.0.schema_name(params)
        }

        fn human_display(
            &self,
            params: &datafusion::logical_expr::expr::AggregateFunctionParams,
        ) -> Result<String> {
            self.0.human_display(params)
        }

        fn window_function_schema_name(
            &self,
            params: &datafusion::logical_expr::expr::WindowFunctionParams,
        ) -> Result<String> {
            self.0.window_function_schema_name(params)
        }

        fn window_function_display_name(
            &self,
            params: &datafusion::logical_expr::expr::WindowFunctionParams,
        ) -> Result<String> {
            self.0.window_function_display_name(params)
        }

        fn signature(&self) -> &datafusion::logical_expr::Signature {
            self.0.signature()
        }

        fn return_type(
            &self,
            of: &[arrow::datatypes::DataType],
        ) -> Result<arrow::datatypes::DataType> {
            self.0.return_type(of)
        }

        fn return_field(
            &self,
            of: &[arrow::datatypes::FieldRef],
        ) -> Result<arrow::datatypes::FieldRef> {
            self.0.return_field(of)
        }

        fn coerce_types(
            &self,
            of: &[arrow::datatypes::DataType],
        ) -> Result<Vec<arrow::datatypes::DataType>> {
            self.0.coerce_types(of)
        }

        fn is_nullable(&self) -> bool {
            self.0.is_nullable()
        }

        fn default_value(
            &self,
            of: &arrow::datatypes::DataType,
        ) -> Result<datafusion::common::ScalarValue> {
            self.0.default_value(of)
        }

        fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
            self.0.order_sensitivity()
        }

        fn supports_null_handling_clause(&self) -> bool {
            self.0.supports_null_handling_clause()
        }

        fn supports_within_group_clause(&self) -> bool {
            self.0.supports_within_group_clause()
        }

        fn documentation(&self) -> Option<&datafusion::logical_expr::Documentation> {
            self.0.documentation()
        }
    };
}

pub(super) use delegate_aggregate;
